"""How the Structs of `receiver.config` are filled: sources, environment, and one key checked against another.

Room: settings. Knows the configuration and nothing that uses it; `service` and `cli` call `settings.loader`.
"""
