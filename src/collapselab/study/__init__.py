"""A study: its file read and checked, resolved, and handed on to the workflow as jobs.

``file`` has the shape of the YAML, ``loading`` reads and checks it, ``Study`` is what it comes to. What jobs ask of a
study is in ``jobs``, why they would run again in ``reasons``, what they have found so far in ``results``.
"""

from .faults import BadStudy as BadStudy
from .faults import Fault as Fault
from .file import FAIRNESS as FAIRNESS
from .file import STUDY_NAME_PATTERN as STUDY_NAME_PATTERN
from .file import Arm as Arm
from .file import Data as Data
from .file import StudyFile as StudyFile
from .lineages import Lineage as Lineage
from .loading import find as find
from .loading import from_plan as from_plan
from .loading import load as load
from .loading import of_workflow as of_workflow
from .study import Study as Study
