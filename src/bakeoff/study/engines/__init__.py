"""Where a study's runs are computed: here, in processes beside this one, or on a Ray cluster.

- `engine`: what every engine does, and what it is handed. `settings`: which one a user asks for.
- `schedule`: which run may start next; no engine decides that.
- `here`: one run after the other in this process. `local`: several processes at once, each of which is
  a `worker`. `training.parcel`: a job on its way there; `relay`: its news on the way back.
- `on_ray`: a Ray cluster, seen from the study's process. `address`: is there one? `on_node`: what
  happens on one of its nodes. `post`: news and wishes between the two. `store`: a bucket for what runs
  leave.
"""

from bakeoff.study.engines.engine import Ears, Ended, Engine, Order
from bakeoff.study.engines.settings import EngineSettings, check_engine, make_engine

__all__ = ["Ears", "Ended", "Engine", "EngineSettings", "Order", "check_engine", "make_engine"]
