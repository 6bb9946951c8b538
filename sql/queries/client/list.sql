-- role:   worker operator
-- params: $1 text[] clients or null, $2 text[] providers or null
-- rows:   n of id, name, providers as a JSON array
-- why:    who may see some providers only sees the clients that are connected to them
select k.id, k.name,
	coalesce(json_agg(c.provider order by c.provider) filter (where c.provider is not null), '[]')::text
from vestal.client k
	left join vestal.connection c on c.client_id = k.id and c.removed_at is null
		and ($2::text[] is null or c.provider = any ($2))
where k.removed_at is null and ($1::text[] is null or k.id = any ($1))
group by k.id
having $2::text[] is null or count(c.id) > 0
order by k.id
