/** What has the system watched: for the Prometheus operator and for Grafana's dashboard sidecar. */
import { namespace } from '@vpn-gateway/config'
import type { IConfigMap } from 'kubernetes-models/v1'
import { systemLabels } from '../manifest/labels.ts'
import { alertGroups, type AlertGroup } from './alerts.ts'
import { dashboard } from './dashboard.ts'

/** PodMonitor of the Prometheus operator, as far as it is used here. */
interface PodMonitor {
  apiVersion: 'monitoring.coreos.com/v1'
  kind: 'PodMonitor'
  metadata: { name: string; namespace: string; labels: Record<string, string> }
  spec: {
    selector: { matchLabels: Record<string, string> }
    podMetricsEndpoints: {
      port: string
      path: string
      interval: string
      scrapeTimeout: string
      relabelings: { sourceLabels: string[]; targetLabel: string }[]
    }[]
  }
}

/** PrometheusRule of the Prometheus operator. */
interface PrometheusRule {
  apiVersion: 'monitoring.coreos.com/v1'
  kind: 'PrometheusRule'
  metadata: { name: string; namespace: string; labels: Record<string, string> }
  spec: { groups: AlertGroup[] }
}

export type MonitoringManifest = PodMonitor | PrometheusRule | IConfigMap

/** Manifests by file, in the order in which they are to be applied. */
export function monitoring(): Record<string, MonitoringManifest[]> {
  return {
    'pod-monitor.yaml': [podMonitor()],
    'rules.yaml': [prometheusRule()],
    'dashboard.yaml': [dashboardConfigMap()],
  }
}

const metadata = (name: string) => ({ name, namespace, labels: systemLabels })

function podMonitor(): PodMonitor {
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: metadata('vpn-gateway'),
    spec: {
      selector: { matchLabels: systemLabels },
      podMetricsEndpoints: [
        {
          port: 'http',
          path: '/metrics',
          interval: '15s',
          scrapeTimeout: '10s',
          relabelings: [
            { sourceLabels: ['__meta_kubernetes_pod_label_app_kubernetes_io_component'], targetLabel: 'component' },
            { sourceLabels: ['__meta_kubernetes_pod_node_name'], targetLabel: 'node' },
          ],
        },
      ],
    },
  }
}

function prometheusRule(): PrometheusRule {
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: metadata('vpn-gateway'),
    spec: { groups: alertGroups() },
  }
}

/** Grafana's sidecar reads ConfigMaps with this label. */
function dashboardConfigMap(): IConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { ...metadata('vpn-gateway-dashboard'), labels: { ...systemLabels, grafana_dashboard: '1' } },
    data: { 'vpn-gateway.json': `${JSON.stringify(dashboard(), undefined, 2)}\n` },
  }
}
