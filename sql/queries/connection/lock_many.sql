-- role:   worker refresher
-- params: $1 int8[] connections
-- rows:   n of id
-- why:    what is read of them must be read afterwards, by another statement: one that had to wait for a row would see the
--         token as it was before; in order, lest two wait in a ring
select id from vestal.connection where id = any ($1) order by id for update
