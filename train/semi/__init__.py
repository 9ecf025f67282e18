"""Semi-supervised training of an ISP: a few pairs and ordinary photos (SemiISP); see docs/semi.md."""
