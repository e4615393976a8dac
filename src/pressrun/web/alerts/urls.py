"""Addresses of mails, notifications and webhooks."""

from django.urls import path

from pressrun.web.alerts import outbox_views, views, webhook_views

urlpatterns = [
    path("subscriptions", views.subscriptions, name="subscriptions"),
    path("subscriptions/save", views.save_subscriptions, name="save-subscriptions"),
    path("subscriptions/confirm/<str:token>", views.confirm, name="mail-confirm"),
    path("subscriptions/stop/<str:token>", views.stop, name="mail-stop"),
    path("subscriptions/of/<str:token>", views.preferences, name="mail-preferences"),
    path("notifications", views.notifications, name="notifications"),
    path("notifications/read", views.mark_read, name="notifications-read"),
    path("webhooks", webhook_views.webhooks_page, name="webhooks"),
    path("webhooks/<int:key>", webhook_views.webhook, name="webhook"),
    path("mail/", outbox_views.outbox, name="outbox"),
    path("mail/<str:name>", outbox_views.one_mail, name="mail"),
    path("mail/<str:name>/html", outbox_views.html_part, name="mail-html"),
    path("mail/<str:name>/file", outbox_views.mail_file, name="mail-file"),
]
