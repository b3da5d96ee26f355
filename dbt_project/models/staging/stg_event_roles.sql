-- One row per role and pattern of event names.
-- * is any run of characters; what LIKE would take for a wildcard is escaped first,
-- by !, for some engines read a backslash as their own.
select
  role,
  replace(replace(replace(replace(pattern, '!', '!!'), '%', '!%'), '_', '!_'), '*', '%')
    as like_pattern
from {{ source('context', 'event_roles') }}
