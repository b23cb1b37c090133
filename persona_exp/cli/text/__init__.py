"""What a terminal shows: sentences, tables and units."""
