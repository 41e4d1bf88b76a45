try:
    from app.cli import main

    code = main()
except KeyboardInterrupt:  # before main could say so itself
    code = 130
raise SystemExit(code)
