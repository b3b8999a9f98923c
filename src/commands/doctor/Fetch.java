import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;

class Fetch {
    public static void main(String[] arguments) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(arguments[0]).openConnection();
        int status = connection.getResponseCode();
        InputStream body = status < 400 ? connection.getInputStream() : connection.getErrorStream();
        System.out.println(connection.getResponseMessage());
        System.out.println(body == null ? "" : new String(body.readAllBytes()));
        System.exit(status < 400 ? 0 : 1);
    }
}
