"""The site: a Django project with one app a concern."""
