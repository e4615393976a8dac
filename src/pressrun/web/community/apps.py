from django.apps import AppConfig


class CommunityConfig(AppConfig):
    name = "pressrun.web.community"
    label = "community"
    verbose_name = "Community"

    def ready(self) -> None:
        """Exports carry what people added, and counts follow whatever removes a vote or a comment."""
        from pressrun.web.community import restoring, voting

        restoring.register_kinds()
        restoring.register_own_data()
        voting.connect()
