"""alloop: the operational loop of active learning for computer vision."""

__version__ = "0.1.0"
