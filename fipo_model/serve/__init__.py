"""`fipo serve`: an OpenAI-compatible gateway that rewrites prompts on their way, and a playground.

A request goes through `guarding` (who may ask), `forwarding` (what is asked, and what comes back), `chats` (which texts
of a body are prompts) and `rewriting` (their rewrites, once for each text) to an `upstream`. `running` starts it all.
"""
