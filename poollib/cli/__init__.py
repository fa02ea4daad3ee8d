"""What a person at a terminal uses: ``python -m poollib``, its demo."""
