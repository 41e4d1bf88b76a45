"""The page: `run-app gradio`. Its front process never imports torch; models live in a worker (app/web/lane.py)."""
