"""Did it collapse? The field's definitions, each as a test on the records of a study.

The unit of every test is the lineage (one arm, one seed): a lineage gives one number, such as the slope of its recall
over the generations, and an arm is judged by a t-interval over its lineages. Holm's correction (1979) runs over the
arms within each question. Which question comes first is the study's primary endpoint, named before it runs.

Two analyses are about that endpoint (``primary``), eight are the definitions of the literature (``definitions``).
Beside them stand whether a loop follows its law (``laws``), what it is worth in real rows (``effective``) and when it
will have lost half (``forecast``). All give findings of one form, and are entries of one registry.
"""

from . import powerlaw as powerlaw
from .definitions import CLASSES_GIVEN as CLASSES_GIVEN
from .facts import Claim as Claim
from .facts import Endpoint as Endpoint
from .facts import Point as Point
from .facts import Prevention as Prevention
from .facts import Selected as Selected
from .facts import StudyFacts as StudyFacts
from .findings import Analysis as Analysis
from .findings import Finding as Finding
from .findings import Table as Table
from .prevention import GOALS as GOALS
from .prevention import NOT_BEATEN as NOT_BEATEN
from .prevention import standings as standings
from .records import Indexed as Indexed
from .records import Record as Record
from .records import at_risk as at_risk
from .records import diverged as diverged
from .records import indexed as indexed
from .records import lineages as lineages
from .registry import ANALYSES as ANALYSES
from .registry import analyse as analyse
from .statistics import Estimate as Estimate
from .statistics import estimate as estimate
from .statistics import slope as slope
from .statistics import t_interval as t_interval
from .survival import of_arm as of_arm
from .words import digits_apart as digits_apart
from .words import natural as natural
from .words import spell as spell
