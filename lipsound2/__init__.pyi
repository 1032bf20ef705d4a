from lipsound2 import metrics as metrics
from lipsound2.api import ClipFailure as ClipFailure
from lipsound2.api import ClipVideo as ClipVideo
from lipsound2.api import LipsoundError as LipsoundError
from lipsound2.api import SearchOptions as SearchOptions
from lipsound2.api import Speech as Speech
from lipsound2.api import Transcript as Transcript
from lipsound2.api import crop as crop
from lipsound2.api import load as load
from lipsound2.api import phrase_reader as phrase_reader

__version__: str
