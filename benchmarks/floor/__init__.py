"""What the parts of the classifier must cost, and what they do cost: see `benchmarks/roofline.py`."""
