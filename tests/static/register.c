// SPDX-License-Identifier: MPL-2.0
/* Links libgstdance.a, registers the plugin by hand and makes each of its elements.
 *
 * This is all that an application needs that ships without plugin files, as on phones or in a
 * single binary. */

#include <gst/gst.h>

/* The one symbol of ours. */
extern void gst_plugin_dance_register (void);

static const char *const wanted[] = {
  "onsetdetect", "markcombiner", "rhythmoverlay", "marknetsink", "marksink",
};

static gboolean
make (const char *name)
{
  GstElementFactory *factory = gst_element_factory_find (name);
  GstPlugin *plugin;
  GstElement *element;
  gboolean ok = FALSE;

  if (factory == NULL) {
    g_printerr ("%s: not registered\n", name);
    return FALSE;
  }
  plugin = gst_plugin_feature_get_plugin (GST_PLUGIN_FEATURE (factory));
  /* A plugin that was registered statically has no file. */
  if (plugin == NULL || gst_plugin_get_filename (plugin) != NULL) {
    g_printerr ("%s: comes from %s and not from this program\n", name,
        plugin ? gst_plugin_get_filename (plugin) : "nowhere");
  } else if ((element = gst_element_factory_create (factory, NULL)) == NULL) {
    g_printerr ("%s: could not be made\n", name);
  } else if (gst_element_set_state (element, GST_STATE_NULL)
      == GST_STATE_CHANGE_FAILURE) {
    g_printerr ("%s: does not go to NULL\n", name);
    gst_object_unref (element);
  } else {
    g_print ("%s\n", name);
    gst_object_unref (element);
    ok = TRUE;
  }
  gst_clear_object (&plugin);
  gst_object_unref (factory);
  return ok;
}

int
main (int argc, char **argv)
{
  gboolean ok = TRUE;

  gst_init (&argc, &argv);
  if (gst_element_factory_find (wanted[0]) != NULL) {
    g_printerr ("the plugin is installed here already: set GST_PLUGIN_PATH aside\n");
    return 1;
  }
  gst_plugin_dance_register ();
  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++)
    ok &= make (wanted[i]);
  gst_deinit ();
  return ok ? 0 : 1;
}
