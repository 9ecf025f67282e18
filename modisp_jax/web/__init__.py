"""The editor's page: a small server on this machine, with FastAPI and uvicorn (``pip install 'modisp_jax[web]'``)."""
