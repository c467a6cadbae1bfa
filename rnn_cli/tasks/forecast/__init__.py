"""Series: the values to come from those that were."""
