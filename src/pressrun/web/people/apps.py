from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "pressrun.web.people"
    label = "people"

    def ready(self) -> None:
        from allauth.account.decorators import secure_admin_login
        from django.contrib import admin

        from pressrun.web.people import holdings, signals  # noqa: F401  they register themselves

        # One door: the admin's own sign-in would know no second factor and no limits.
        admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
