"""Book files to chapters, passages, quotes and speakers. Text only."""
