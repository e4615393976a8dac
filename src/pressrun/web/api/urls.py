"""The addresses of everything that is read by machines. They come before the pages, whose pattern for a paper takes all."""

from pressrun.web.api import arxiv, feeds, huggingface, oai, paperfiles, pwc, sitemaps, v1

urlpatterns = [
    *v1.urlpatterns,
    *huggingface.urlpatterns,
    *arxiv.urlpatterns,
    *oai.urlpatterns,
    *pwc.urlpatterns,
    *feeds.urlpatterns,
    *sitemaps.urlpatterns,
    *paperfiles.urlpatterns,
]
