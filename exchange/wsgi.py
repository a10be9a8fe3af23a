"""The web application, as gunicorn runs it."""

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

application = get_wsgi_application()
# Whoever asks first does not wait for the doors to be loaded; what was loaded stays, and need not
# be looked through again for what nobody holds any more.
get_resolver().resolve("/healthz")
gc.collect()
gc.freeze()
