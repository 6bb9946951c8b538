-- role:   worker operator
-- params: $1 text client
-- rows:   n of id
-- why:    what is checked of a client's connections must hold until the transaction ends; in order, lest two wait in a ring
select id from vestal.connection where client_id = $1 order by id for update
