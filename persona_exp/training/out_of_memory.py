"""How one tells that there was no memory left."""

# What libraries say of it, the processor's allocator and cuBLAS with them.
SAID = (
    "out of memory",
    "can't allocate memory",
    "unable to allocate",
    "not enough memory",
    "cublas_status_alloc_failed",
    # Where a full GPU has no room for its workspace.
    "cublas_status_not_initialized",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what `error` says."""
    return isinstance(error, MemoryError) or any(phrase in str(error).lower() for phrase in SAID)
