"""How key-value is spoken with clients: frames in, checks in the server's order, frames out.

Which operations there are is not known here: a table of `Command`s is handed in.
"""
