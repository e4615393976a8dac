"""Accounts: ours, then those pages that django-allauth brings. Where it has limits in memory only, ours come before it."""

from allauth.account import views as allauth_views
from allauth.mfa.base import views as mfa_views
from allauth.socialaccount import providers
from django.urls import URLPattern, URLResolver, include, path
from django.utils.module_loading import import_string

from pressrun.web.people import owner_views, views
from pressrun.web.people.limits import limit


def _of_providers() -> list[URLPattern | URLResolver]:
    """The addresses of the sign-in providers that the owner has set up."""
    classes = providers.registry.get_class_list()
    return [route for each in classes for route in import_string(f"{each.get_package()}.urls.urlpatterns")]


urlpatterns = [
    path("account", views.account, name="account"),
    path("account/tokens", views.access_tokens, name="access-tokens"),
    path("account/tokens/<int:pk>/revoke", views.revoke_token, name="revoke-token"),
    path("account/export", views.export, name="export-account"),
    path("account/delete", views.delete, name="delete-account"),
    path("account/invitation/<str:secret>", views.invitation, name="invitation"),
    path("people", owner_views.people, name="people"),
    path("people/sign-up", owner_views.policy, name="sign-up-policy"),
    path("people/invitations", owner_views.invite, name="invite"),
    path("people/invitations/<int:pk>/revoke", owner_views.revoke, name="revoke-invitation"),
    path("people/<int:pk>/role", owner_views.role, name="give-role"),
    path("people/<int:pk>/active", owner_views.active, name="set-active"),
    path("account/signup/", limit("sign-up")(allauth_views.signup), name="account_signup"),
    path("account/password/reset/", limit("mail")(allauth_views.password_reset), name="account_reset_password"),
    path("account/2fa/authenticate/", limit("sign-in")(mfa_views.authenticate), name="mfa_authenticate"),
    path("account/", include("allauth.account.urls")),
    path("account/2fa/", include("allauth.mfa.urls")),
    path("account/sessions/", include("allauth.usersessions.urls")),
    path("account/3rdparty/", include("allauth.socialaccount.urls")),
    path("account/", include(_of_providers())),
]
