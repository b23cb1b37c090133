"""What a sweep will cost, and did."""
