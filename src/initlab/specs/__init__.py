"""Everything that can be named in a config, without torch: fields, defaults, ranges, sources.

One file a config group. The functions join in `inits.py`, `acts.py`, `archs.py`, `datasets.py` and `optimizers.py`;
`conf/<group>/<name>.yaml` repeats fields and defaults for the reader, and a test holds the three equal.
"""

import initlab.specs.init_data
import initlab.specs.init_recurrent
import initlab.specs.init_roles  # noqa: F401  (their schemes join INITS)
from initlab.specs.act import ACTS
from initlab.specs.arch import ARCHS
from initlab.specs.dataset import DATASETS
from initlab.specs.init import INITS
from initlab.specs.optimizer import OPTIMIZERS, PER_RUN
from initlab.specs.sections import SEEDS, SWEEP, TRAINER

GROUPS = {registry.group: registry for registry in (DATASETS, ARCHS, ACTS, INITS, OPTIMIZERS)}

__all__ = ["ACTS", "ARCHS", "DATASETS", "GROUPS", "INITS", "OPTIMIZERS", "PER_RUN", "SEEDS", "SWEEP", "TRAINER"]
