"""Which errors say that there was no memory left."""

# Texts of libraries, of the processor's allocator and of cuBLAS.
MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "unable to allocate",
    "not enough memory",
    "cublas_status_alloc_failed",
    # Where a full GPU has no room for its workspace.
    "cublas_status_not_initialized",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` is one of them."""
    return isinstance(error, MemoryError) or any(phrase in str(error).lower() for phrase in MESSAGES)
