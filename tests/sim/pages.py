"""The HTML that Zoho's side shows: consent, refusal, maintenance. Decides wording only."""

from html import escape

STYLE = """body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}
label{display:block;margin:1rem 0 .25rem}input,select,button{font:inherit;padding:.4rem .6rem}
input{width:100%;box-sizing:border-box}button{margin:1.5rem .5rem 0 0}"""

FORM = """<h1>{client} wants access</h1>
<p>This is the provider simulator ({origin}). Nothing here is real.</p>
<ul>{scopes}</ul>
<form method="post" action="{action}">
<label for="user">User</label>
<input id="user" name="user" value="{user}" maxlength="254" required autocomplete="off">
<label for="datacenter">Data centre of this user</label>
<select id="datacenter" name="datacenter">{options}</select>
<div><button name="decision" value="accept">Accept</button>
<button name="decision" value="deny">Deny</button></div>
</form>"""

MAINTENANCE_TEXT = "We are upgrading our servers. Please try again in a few minutes."


def page(title: str, content: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{content}</body></html>\n"
    )


def refusal(message: str) -> str:
    return page("Error", f"<h1>Error</h1><p>{escape(message)}</p>")


def maintenance() -> str:
    return page("Zoho", f"<h1>Scheduled maintenance</h1><p>{MAINTENANCE_TEXT}</p>")


def consent(client_id, scopes, datacenter, choices, query, user) -> str:
    """The form posts to its own URL, so that the request's parameters travel unchanged."""
    option = '<option value="{0}"{1}>{0}</option>'
    filled = FORM.format(
        client=escape(client_id),
        origin=escape(datacenter),
        scopes="".join(f"<li>{escape(scope)}</li>" for scope in scopes),
        action=escape(f"/oauth/v2/auth?{query}"),
        user=escape(user),
        options="".join(option.format(dc, " selected" * (dc == datacenter)) for dc in choices),
    )
    return page("Allow access?", filled)
