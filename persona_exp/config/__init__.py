"""What conf/ may say, and which of it makes a trial's identity."""
