import sys

print(sys.argv, "unbuffered" if sys.stdout.line_buffering or sys.stdout.write_through else "buffered")
