"""Sample sets, tables, tensors and records on disk: atomic, hashed, verified on every read. Nothing is ever pickled."""

from .bytes import FORMAT as FORMAT
from .bytes import METADATA_KEY as METADATA_KEY
from .bytes import content_hash as content_hash
from .bytes import expect as expect
from .bytes import hash_path as hash_path
from .bytes import recorded_hash as recorded_hash
from .bytes import verify as verify
from .bytes import write_atomically as write_atomically
from .bytes import write_hashed as write_hashed
from .records import read_json as read_json
from .records import write_json as write_json
from .samples import read_samples as read_samples
from .samples import write_samples as write_samples
from .tables import read_ballots as read_ballots
from .tables import read_kept as read_kept
from .tables import read_table as read_table
from .tables import read_training as read_training
from .tables import referred as referred
from .tables import write_ballots as write_ballots
from .tables import write_kept as write_kept
from .tables import write_table as write_table
from .tables import write_training as write_training
from .tensors import DTYPES as DTYPES
from .tensors import read_tensors as read_tensors
from .tensors import write_tensors as write_tensors
