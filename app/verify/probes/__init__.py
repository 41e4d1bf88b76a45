"""Programs that verify starts in children: each looks at the process it is run in, and prints what it sees as JSON in
its last line.
"""
