"""From runs/ to tables and figures. Reads what trials wrote; imports no torch."""
