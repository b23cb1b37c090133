"""Nodes that fail, and how often."""

import pytest

from persona_exp.launch.recovery.failed_nodes import failed_twice, note_failed_node


def attempt(boot, job="7", restarts=0):
    started = {"process_started": f"{boot}:17"} if boot else {}
    return {"host": "node1", "job": {"id": job, "restarts": restarts}, **started}


@pytest.mark.parametrize(
    ("attempts", "failed"),
    [
        # One crash, of a node at eight trials: in one job, or in one each.
        ([attempt("a", str(job)) for job in range(8)], False),
        ([attempt(None)] * 8, False),
        ([attempt("a"), attempt("b")], True),
        ([attempt(None), attempt(None, restarts=1)], True),
        ([attempt(None), attempt(None, "8")], True),
        ([{"host": "node1"}] * 3, False),
    ],
)
def test_a_node_that_goes_down_once_has_failed_once_whatever_it_ran(tmp_path, attempts, failed):
    for record in attempts:
        note_failed_node(tmp_path, record)
    assert failed_twice(tmp_path) == (["node1"] if failed else [])
