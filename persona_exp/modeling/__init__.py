"""Base models, their chat templates, quantisation and adapters. Takes plain arguments; knows nothing of trials."""

import logging

# On some processors bitsandbytes complains on import, by whomever, that it misses a package which downloads kernels at run time.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
