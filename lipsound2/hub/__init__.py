"""Models from a hub and to it: public models that others published, and packs of this toolkit."""
