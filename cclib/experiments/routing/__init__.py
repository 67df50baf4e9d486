"""Appendix A.2: routers and cascades on one pair of models, by cost against quality."""
