pytest_plugins = ["poollib.testing.pytest_plugin"]
