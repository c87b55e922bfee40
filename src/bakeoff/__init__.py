"""Controlled image-classification studies: which classifier, how sure, at what cost."""
