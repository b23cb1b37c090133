"""The pages of docs/reference that are made from the code: `python -m reference_pages` writes them."""
