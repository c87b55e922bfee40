"""The command line: one file per verb, which parses, calls and prints.

`main` holds the verbs together and is the only place that catches and exits. `live`
draws a study at work.
"""
