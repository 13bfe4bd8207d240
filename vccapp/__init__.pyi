"""The Python API, for editors and type checkers; `__init__.py` imports each name when it is first used."""

from .data.embeddings import open_embedding as open_embedding
from .data.reading.dataset import Dataset as Dataset
from .data.reading.opening import open_dataset as open_dataset
from .data.simulation.demo import write_demo as write_demo
from .data.splits.split import Split as Split
from .data.splits.split import load_split as load_split
from .data.splits.split import make_folds as make_folds
from .data.splits.split import make_split as make_split
from .data.splits.split import write_split as write_split
from .data.workspace import list_datasets as list_datasets
from .data.workspace import register as register
from .errors import VccAppError as VccAppError
from .evaluation.comparison.comparison import Comparison as Comparison
from .models.base import MODELS as MODELS
from .models.base import load_model as load_model
from .models.base import make_model as make_model
from .settings import Settings as Settings
from .stats.building.build import build_index as build_index
from .stats.index import Index as Index
from .stats.index import load_index as load_index
from .submission.build import build_submission as build_submission
from .submission.build import check_submission as check_submission
from .submission.plan import Plan as Plan
from .submission.planning.make import make_plan as make_plan
from .training.comparison import open_comparison as open_comparison
from .training.import_prediction import import_prediction as import_prediction
from .training.record import RunRecord as RunRecord
from .training.record import RunSpec as RunSpec
from .training.record import list_runs as list_runs
from .training.record import load_run as load_run
from .training.record import make_run_id as make_run_id
from .training.results.score_run import score_run as score_run
from .training.run import resume as resume
from .training.run import train as train

__version__: str
__all__: list[str]
