select accounts.account_id
from {{ ref('dim_accounts') }} as accounts
left join {{ ref('account_360') }} as account_360 on accounts.account_id = account_360.account_id
where account_360.account_id is null
