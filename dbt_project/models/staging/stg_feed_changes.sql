-- One row per part of the usage feed (all: the whole of it) whose volume changed for good.
select
  part,
  since
from {{ source('context', 'feed_changes') }}
