"""What people read of a study: its page, tables and figures, and the mirror in MLflow (``tracking``)."""

from .files import build as build
from .pictures import grid_png as grid_png
from .tables import glance as glance
from .texts import Texts as Texts
