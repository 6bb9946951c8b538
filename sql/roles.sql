-- The roles of a Vestal database. Run once by a superuser, connected to the database; running it again changes nothing.
-- Nobody but vestal_owner, which cannot log in, owns or changes the schema. vestal_operator may become it, and
-- does so for `vestalctl migrate` alone. Passwords are for the administrator to set where peer authentication
-- cannot reach.

do $$
declare
	login text;
begin
	if not exists (select from pg_roles where rolname = 'vestal_owner') then
		create role vestal_owner nologin;
	end if;
	foreach login in array array['vestal_worker', 'vestal_refresher', 'vestal_auditor', 'vestal_operator',
		'vestal_sealer'] loop
		if not exists (select from pg_roles where rolname = login) then
			execute format('create role %I login noinherit', login);
		end if;
	end loop;
	execute format('revoke all on database %I from public', current_database());
	execute format('grant create on database %I to vestal_owner', current_database());
	execute format('grant connect on database %I to vestal_worker, vestal_refresher, vestal_auditor, vestal_operator,
		vestal_sealer',
		current_database());
end
$$;

grant vestal_owner to vestal_operator;
revoke all on schema public from public;
