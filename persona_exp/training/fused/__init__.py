"""The fused engine: trials that share a frozen base model, trained together, each as if alone."""
